-- transition: changes the state of a record, with all effects.
--
-- KEYS  record: of a job or a delivery
-- ARGV  transition, JSON: as of transitions.lua, and read: whether to return the record; body: of the event that is
--       owed, or ""
--
-- One durable step, so that no crash can happen between "completed" and the creation of its deliveries. callback.lua
-- is a separate step, but uses the same function to change states.
--
-- Returns {outcome, state before, state after, record as a flat list or {}}; outcome: as of `effects.apply_transition`
local key = KEYS[1]
local transition, body = cjson.decode(ARGV[1]), ARGV[2]
local result = effects.apply_transition(key, transition, body, call.now_ms())
return { result.outcome, result.before, result.after, transition.read and record.all(key) or {} }
