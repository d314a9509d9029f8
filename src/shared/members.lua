-- A process says that it is there.
--
-- KEYS: the processes by the time until which they count. ARGV: member, milliseconds (0: it leaves).
-- Gives how many there are.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lifetime = tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if lifetime > 0 then
  redis.call('ZADD', KEYS[1], now + lifetime, ARGV[1])
  redis.call('PEXPIRE', KEYS[1], lifetime * 10)
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
return redis.call('ZCARD', KEYS[1])
