-- note_callback_probe: records that our own callback route is probed from now on, if that is the first probe.
--
-- KEYS  path: what is known of the callback route
-- ARGV  none
--
-- Until a probe has arrived, this is since when one could have.
--
-- Returns 1 | 0: it was probed before
local path = KEYS[1]
return redis.call('HSETNX', path, 'probed_at', call.now_ms())
