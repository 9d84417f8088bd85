INSERT INTO remembered (name, value) VALUES
    ('commands', '289a8694e3c44d8768ca16d212f66c1a7be0fa25ccf179b6008f5cc02f0c2d35');
