-- note_unknown_status: records that the upstream reported a status that nobody knows.
--
-- KEYS  words: zset of such words by when they were last seen
-- ARGV  word, error: what was said beside it, or ""; job, account
--
-- The words are the upstream's, so only the newest of them are kept. Operators get one ops event per word and quarter
-- of an hour, however many jobs are concerned.
--
-- Returns 1: it is news | 0
local words = KEYS[1]
local word, error_text, job, account = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local KEPT, NEWS_MS, FORGET_MS = 20, 900000, 86400000
local now = call.now_ms()
redis.call('ZREMRANGEBYSCORE', words, '-inf', now - FORGET_MS)
local seen = redis.call('ZSCORE', words, word)
if not seen and redis.call('ZCOUNT', words, now - NEWS_MS, '+inf') >= KEPT then
  word = '(others)'
  seen = redis.call('ZSCORE', words, word)
end
redis.call('ZADD', words, now, word)
redis.call('ZREMRANGEBYRANK', words, 0, -(KEPT + 2))
if seen and now - seen < NEWS_MS then return 0 end
log.ops_event(now, 'status_unknown', 'word', word, 'error', error_text, 'job', job, 'account', account)
return 1
