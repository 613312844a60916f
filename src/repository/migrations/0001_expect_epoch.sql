-- Custom: what drizzle-kit does not know, a function.
-- The epoch this very statement writes in, where it is that of every row number the service remembers: a queue's id means
-- another queue, or none, in another history of the database (ST002). Nothing was done then; the service looks anew.
CREATE FUNCTION "stint"."expect_epoch"(of_shard smallint, expected integer[]) RETURNS integer LANGUAGE plpgsql STABLE AS $$
DECLARE
  found_number integer := stint.current_epoch(of_shard);
BEGIN
  IF found_number <> ALL (expected) OR cardinality(expected) > 1 THEN
    RAISE EXCEPTION 'shard % is in epoch %', of_shard, found_number USING ERRCODE = 'ST002';
  END IF;
  RETURN found_number;
END $$;
