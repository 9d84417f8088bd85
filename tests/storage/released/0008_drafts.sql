-- A question was being written about a message, and what was typed for a picture had been given back.
INSERT INTO drafts (draft_id, user_id, guild_id, kind, made_at_us, body) VALUES
    (1574060860760960000, 1100000000000000003, 1100000000000000001, 'question', 1795355777000000,
     '{"quoted":"X marks the spot","quoted_author":"Noam","images":[],"file":null,"left_out":0,"private":false}'),
    (1574060860760960001, 1100000000000000003, NULL, 'picture', 1795355778000000,
     '{"form":"edit","typed":{"prompt":"a lighthouse","negative_prompt":"","model":"realvision","size":"832 × 1216","rest":"count: 9"}}');
