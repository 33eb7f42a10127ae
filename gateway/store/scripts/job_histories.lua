-- job_histories: what Redis has of the histories of jobs, with what tells which of them were moved. Changes nothing.
--
-- KEYS  jobs: their records
-- ARGV  none
--
-- Returns for each {tenant, created_at, archived, history}: fields of its record, nil if absent; entries, oldest first
local jobs, found = KEYS, {}
for at, job in ipairs(jobs) do
  found[at] = redis.call('HMGET', job, 'tenant', 'created_at', 'archived')
  found[at][4] = redis.call('LRANGE', job .. ':audit', 0, -1)
end
return found
