-- job_deliveries: deliveries of a job, with what tells whether their logs were moved. Changes nothing.
--
-- KEYS  job: its record
-- ARGV  the id of each delivery
--
-- Returns {archived: field of the job's record, nil if absent; for each delivery its record, as a flat list}
local key, names = KEYS[1], ARGV
local found = { redis.call('HGET', key, 'archived') }
for at, name in ipairs(names) do found[at + 1] = redis.call('HGETALL', P .. 'delivery:' .. name) end
return found
