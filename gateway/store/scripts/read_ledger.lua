-- read_ledger: entries and balances of one moment. Changes nothing.
--
-- KEYS  moved: what says which days were moved; the stream of each day; balances
-- ARGV  days: how many; count: of entries of each day, at most; then for each day its name and where to start
--
-- Returns {{where the day was moved to, nil if it was not, ...}, {entries of the day, ...}, {balance, ...}}
local days, count = tonumber(ARGV[1]), ARGV[2]
local moved, entries, balances = {}, {}, {}
for at = 1, days do
  moved[at] = redis.call('HGET', KEYS[1], ARGV[1 + 2 * at])
  entries[at] = redis.call('XRANGE', KEYS[1 + at], ARGV[2 + 2 * at], '+', 'COUNT', count)
end
for at = days + 2, #KEYS do balances[#balances + 1] = redis.call('HGETALL', KEYS[at]) end
return { moved, entries, balances }
