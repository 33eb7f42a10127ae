-- transition: the one way in which a record changes state, with everything that follows from it.
--
-- KEYS  record: of a job or a delivery
-- ARGV  transition, JSON: as of transitions.lua, and read: whether to return the record; body: of the event that is
--       owed, or ""
--
-- One durable step, so that no crash can fall between "completed" and "owed". What a callback does is a step of its
-- own, by the same mover of states (callback.lua).
--
-- Returns {outcome, state before, state after, record as a flat list or {}}; outcome: as of `apply_transition`
local record = KEYS[1]
local transition, body = cjson.decode(ARGV[1]), ARGV[2]
local result = apply_transition(record, transition, body, now_ms())
return { result.outcome, result.before, result.after, transition.read and redis.call('HGETALL', record) or {} }
