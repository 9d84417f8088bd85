-- How an answer has ended, while its last edit is still to come: JSON of `bot/answers/ending.py`. Who finds an answer
-- running that has this shows it whole and charges it; it goes in the transaction that does.
ALTER TABLE answers ADD COLUMN ending TEXT;
