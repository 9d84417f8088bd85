-- Picture orders. Owner: bot/pictures/orders.py.
-- An order's row is written in the transaction of its hold, and its last state in the one that ends the hold: whoever
-- starts after a crash finds in these two tables all there is to do.

-- order_id is the interaction's snowflake, and the key of the hold. asked is what was ordered, as JSON: the buttons
-- below a picture read it for years. interaction_token is emptied once the end has been shown. image_nano is the price
-- of one picture when it was ordered: prices and models change while an order waits.
-- state: waiting (in line), open (submitted, or about to be), uploading (its pictures are on their way to Discord: from
-- here on nobody cancels it, and who starts after a crash looks whether they have arrived), and the ends: delivered (at
-- least one picture), failed, cancelled, undelivered, deleted. images is how many were delivered. dm_channel_id is
-- written before it is delivered to the owner's direct messages, dm_message_id after. untold holds the words about an
-- end that its message does not show yet.
CREATE TABLE picture_orders (
    order_id BIGINT PRIMARY KEY,
    user_id BIGINT NOT NULL,
    scope_id BIGINT NOT NULL,
    guild_id BIGINT,
    channel_id BIGINT NOT NULL,
    message_id BIGINT NOT NULL,
    application_id BIGINT NOT NULL,
    interaction_token TEXT NOT NULL,
    asked TEXT NOT NULL,
    image_nano BIGINT NOT NULL CHECK (image_nano >= 0),
    state TEXT NOT NULL CHECK (
        state IN ('waiting', 'open', 'uploading', 'delivered', 'failed', 'cancelled', 'undelivered', 'deleted')
    ),
    asked_at_us BIGINT NOT NULL,
    opened_at_us BIGINT,
    ended_at_us BIGINT,
    images INTEGER NOT NULL CHECK (images >= 0),
    dm_channel_id BIGINT,
    dm_message_id BIGINT,
    untold TEXT
);

CREATE INDEX picture_orders_by_state ON picture_orders (state, order_id);
CREATE INDEX picture_orders_by_user ON picture_orders (user_id, order_id);

-- One picture of an order, numbered from 0. tries counts the submissions that the API may have taken: it is written
-- before each, and written back where the API turned it down. state: new, submitted (job_id and signature are there),
-- ready (image_url is there), failed. took_ms is from the submission to the API's "ready": what estimates are made of.
CREATE TABLE pictures (
    order_id BIGINT NOT NULL,
    number INTEGER NOT NULL CHECK (number >= 0),
    state TEXT NOT NULL CHECK (state IN ('new', 'submitted', 'ready', 'failed')),
    tries INTEGER NOT NULL CHECK (tries >= 0),
    job_id TEXT,
    signature TEXT,
    submitted_at_us BIGINT,
    image_url TEXT,
    took_ms BIGINT,
    model TEXT NOT NULL,
    pixels BIGINT NOT NULL,
    steps INTEGER NOT NULL,
    PRIMARY KEY (order_id, number)
);

CREATE INDEX pictures_by_time_taken ON pictures (model, pixels, order_id);
