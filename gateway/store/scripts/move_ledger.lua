-- move_ledger: drops a closed day of the ledger that the media store has, if it is still as it was read.
--
-- KEYS  ledger: stream of the day; moved: hash, day -> what the media store has of it
-- ARGV  day; entries: how many were read; last: id of the last of them; manifest: for `moved`
--
-- Returns "moved" | "changed": an entry was added since | "gone": it was moved before
local ledger, moved = KEYS[1], KEYS[2]
local day, entries, last, manifest = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
if redis.call('HEXISTS', moved, day) == 1 then return 'gone' end
local newest = redis.call('XREVRANGE', ledger, '+', '-', 'COUNT', 1)[1]
if redis.call('XLEN', ledger) ~= entries or not newest or newest[1] ~= last then return 'changed' end
redis.call('HSET', moved, day, manifest)
redis.call('DEL', ledger)
return 'moved'
