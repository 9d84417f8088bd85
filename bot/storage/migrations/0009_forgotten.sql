-- Which answers go with a turn: `root_id` is the question whose turn an answer is to become part of, its own or the one
-- that is asked again or carried on, however it ends. `turn_id` says only of what is remembered that it is.
ALTER TABLE answers ADD COLUMN root_id BIGINT;
UPDATE answers SET root_id = COALESCE(turn_id, answer_id);
CREATE INDEX answers_by_root ON answers (root_id);

-- 1: somebody forgot the turn. What was asked goes with it, at once or, where the answer is not at its end, when it is.
ALTER TABLE answers ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0 CHECK (forgotten IN (0, 1));

-- What was forgotten before there was that column left what was asked behind.
UPDATE answers SET question = 'null', turn_id = NULL, forgotten = 1
    WHERE state <> 'running' AND turn_id IS NOT NULL AND turn_id NOT IN (SELECT question_id FROM turns);
