-- change_prices: replaces all prices, if they are still those that the caller has seen.
--
-- KEYS  prices: hash {version, document, digest, at, by, file}
-- ARGV  seen: the version that the caller has seen, 0 if none; document, JSON; digest: of the document; by: who;
--       audit: as of `log.write_audit`
--
-- A repeat changes nothing.
--
-- Returns {version, 1: changed | 0: they were so | -1: the version is not the one seen}
local prices = KEYS[1]
local seen, document, digest, by, entry = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], cjson.decode(ARGV[5])
local found = redis.call('HMGET', prices, 'version', 'digest')
local version = tonumber(found[1]) or 0
if found[2] == digest then return { version, 0 } end
if version ~= seen then return { version, -1 } end
local now = call.now_ms()
version = version + 1
redis.call('HSET', prices, 'version', version, 'document', document, 'digest', digest, 'at', now, 'by', by)
log.write_audit(now, entry)
return { version, 1 }
