-- What fetch_and_cache_joke keeps. The API's own number is the key, so that fetching a joke twice stores it once.
CREATE TABLE afresh.jokes (
    id integer PRIMARY KEY,
    type text NOT NULL,
    setup text NOT NULL,
    punchline text NOT NULL,
    fetched_at timestamptz NOT NULL DEFAULT now()
);
