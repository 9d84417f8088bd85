-- One question was promised an answer, and one order its pictures, when the bot died.
INSERT INTO arrivals (interaction_id, application_id, token, kind, at_us) VALUES
    (1574060860760940000, 1100000000000000020, 'token-of-a-question', 'question', 1795355774000000),
    (1574060860760940001, 1100000000000000020, 'token-of-an-order', 'picture', 1795355775000000);
