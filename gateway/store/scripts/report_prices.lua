-- report_prices: a gateway process says with which prices it works, and learns whether there are newer ones.
--
-- KEYS  prices: as of `change_prices`; books: hash of process -> "<digest>|<since, ms>|<1: it could not read newer
--       prices>|<now, ms>"
-- ARGV  process; digest: of its prices, or "": the process ends; since (ms): when it began to use them; fault: as in
--       `books`, or ""; known: the version that it has, -1 if its prices are from a file; audit: as of
--       `log.write_audit`, or "": its file has not changed
--
-- The prices of a file are written to the audit by the first process that has them.
--
-- Returns {version, document: JSON, or "" if it is the known version or there is none}
local prices, books = KEYS[1], KEYS[2]
local process, digest, since, fault, known, entry = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local KEPT_MS = 60000
local now = call.now_ms()
if digest == '' then
  redis.call('HDEL', books, process)
  return { 0, '' }
end
redis.call('HSET', books, process, table.concat({ digest, since, fault, string.format('%.0f', now) }, '|'))
local all = redis.call('HGETALL', books)
for at = 1, #all, 2 do
  local seen = tonumber(string.match(all[at + 1], '(%d+)$')) or 0
  if now - seen > KEPT_MS then redis.call('HDEL', books, all[at]) end
end
if entry ~= '' and redis.call('HGET', prices, 'file') ~= digest then
  redis.call('HSET', prices, 'file', digest)
  log.write_audit(now, cjson.decode(entry))
end
local version = tonumber(redis.call('HGET', prices, 'version')) or 0
if known < 0 or version == known then return { version, '' } end
return { version, redis.call('HGET', prices, 'document') }
