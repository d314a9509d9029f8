-- One process tells a pool what it has used and gets a lease; policy/lease.rs is the model of this.
--
-- KEYS: the pool's amounts, its leases by their ends.
-- ARGV: member, used, claim, target, short, ceiling, milliseconds of the lease (0: it leaves),
-- milliseconds for which the pool is remembered (0: for ever), what the pool knows that the member
-- may use, at least (-1: it has not answered yet).
local pool, leases, member = KEYS[1], KEYS[2], ARGV[1]
local used, claim, target = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local short, ceiling = tonumber(ARGV[5]), tonumber(ARGV[6])
local lifetime, keep, known = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A lease that was not renewed has ended, and nobody knows how much of it was used: it counts as
-- used until its process tells, or for so many times as long as it was good.
local doubt = 60

local function amount(field)
  return tonumber(redis.call('HGET', pool, field) or '0')
end
local function text(number)
  return string.format('%.0f', number)
end

local total, all = amount('total'), amount('used')
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now)) do
  local its = amount('used:' .. gone)
  total = total - amount('may:' .. gone) + its
  redis.call('HSET', pool, 'may:' .. gone, text(its))
  redis.call('ZREM', leases, gone)
end

-- What the pool has forgotten others may hold, for as long as a lease is good.
local had = redis.call('HGET', pool, 'may:' .. member)
local lives = redis.call('ZSCORE', leases, member)
local forgot = known >= 0 and (not had or lives and tonumber(had) < known)
if forgot and lifetime > 0 then
  redis.call('HSET', pool, 'quiet', text(now + lifetime))
end

local others = total - amount('may:' .. member)
all = all - amount('used:' .. member) + used
local may = used
if lifetime > 0 then
  local room = math.max(0, ceiling - others - used)
  local hold = math.min(target, math.floor(room / 2))
  -- A part of what a request needs would help nobody: the others are to give back what they hold,
  -- so that it is there when it is asked for again.
  if short <= room then
    hold = math.max(hold, short)
  else
    redis.call('HSET', pool, 'hungry', text(now + 2000))
  end
  if amount('quiet') > now then
    hold = 0
  end
  may = math.max(claim, used + hold)
  redis.call('ZADD', leases, now + lifetime * doubt, member)
  redis.call('HSET', pool, 'used:' .. member, text(used), 'may:' .. member, text(may))
else
  redis.call('ZREM', leases, member)
  redis.call('HDEL', pool, 'used:' .. member, 'may:' .. member)
end
redis.call('HSET', pool, 'total', text(others + may), 'used', text(all))
if keep > 0 then
  redis.call('PEXPIRE', pool, keep)
  redis.call('PEXPIRE', leases, keep)
end
local holders = redis.call('ZCOUNT', leases, now + lifetime * (doubt - 1), '+inf')
local fair = math.floor(math.max(0, ceiling - all) / (2 * math.max(1, holders)))
if amount('hungry') > now then
  fair = 0
end
return { text(may), text(fair), text(all), holders }
