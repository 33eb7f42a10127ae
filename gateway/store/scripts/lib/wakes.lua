-- wakes.lua: a shared part. Tokens on the lists that idle processes block on.
--
--   {gw}:<role>:arq:wake   the workers of a role: a token for each job of arq's queue
--   {gw}:dispatch:wake     the leading worker process: one token when it should look earlier than it means to
local wakes = {}

local MOST = 1000 -- more tokens than waiting workers are useless
local TICK_MS = 1000 -- the leader looks at least so often: IDLE_SECONDS in workers/dispatcher.py

-- A job has entered this queue of arq.
function wakes.wake_worker(queue)
  if redis.call('RPUSH', queue .. ':wake', '1') > MOST then redis.call('LPOP', queue .. ':wake') end
end

-- A worker that died may have taken a token and no job. While jobs wait and no token is left, there is one again.
function wakes.replace_lost_token(role)
  local queue = P .. role .. ':arq'
  if redis.call('EXISTS', queue) == 1 and redis.call('EXISTS', queue .. ':wake') == 0 then wakes.wake_worker(queue) end
end

-- A ticket is due at that time. The leader is woken if that is before it looks again, and nothing else is due earlier.
function wakes.wake_leader(role, ticket, at)
  if at - call.now_ms() >= TICK_MS or redis.call('ZRANK', P .. role .. ':due', ticket) ~= 0 then return end
  local list = P .. 'dispatch:wake'
  if redis.call('RPUSH', list, '1') > 1 then redis.call('LPOP', list) end
end

return wakes
