-- read_ledger: entries and balances of one moment. Changes nothing.
--
-- KEYS  moved: what says which days were moved; the stream of each day; balances
-- ARGV  days: how many; count: of entries of each day, at most; then for each day its name and where to start
--
-- Returns {{where the day was moved to, nil if it was not, ...}, {entries of the day, ...}, {balance, ...}}
local keys, args = KEYS, ARGV
local days, count = tonumber(args[1]), args[2]
local moved, entries, balances = {}, {}, {}
for at = 1, days do
  moved[at] = redis.call('HGET', keys[1], args[1 + 2 * at])
  entries[at] = redis.call('XRANGE', keys[1 + at], args[2 + 2 * at], '+', 'COUNT', count)
end
for at = days + 2, #keys do balances[#balances + 1] = redis.call('HGETALL', keys[at]) end
return { moved, entries, balances }
