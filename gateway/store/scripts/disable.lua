-- disable(KEYS = {endpoint, the tenant's index of endpoints}, ARGV = {id, reason, at})
--
-- The endpoint gets nothing more; what is owed to it from now on is held. A script, because a full Redis refuses a
-- plain write, and the endpoint would be posted to again and again. One that is disabled stays as it is.
--
-- Returns 1 | 0: there is no such endpoint
return disable_endpoint(ARGV[1], ARGV[2], ARGV[3], now_ms()) and 1 or 0
