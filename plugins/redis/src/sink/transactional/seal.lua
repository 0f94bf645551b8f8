-- The last command of a transaction. Those before it have written events; this one stores the record that goes
-- with them, or takes the events back.
--
-- No other client sees the writes of a transaction before it ends, and no other command comes between. So the
-- checks can follow the writes: the owner of the sink, the record, the types of the keys. The values never pass
-- through Lua, which costs a server more than writing them.
--
-- KEYS[1] is the hash with the records. KEYS[2] and up are the keys that were written to; ARGV[10] and up are
-- the numbers of values that each was given.

local state, kind = KEYS[1], ARGV[6]
local lane, owner, expected, record = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local command, first, last, ttl = ARGV[5], ARGV[7], ARGV[8], ARGV[9]

-- The reason why the record must not be stored, or nothing.
local function refusal()
  local known = redis.pcall('HMGET', state, 'owner', lane, 'epoch')
  if known.err or known[1] ~= owner then return {'OWNER', known[3] or ''} end
  local stored = known[2] or ''
  if stored ~= expected then return {'RECORD', stored} end
  local list = {'REFUSED'}
  for index = 2, #KEYS do
    local found = redis.call('TYPE', KEYS[index]).ok
    if found ~= kind then
      list[#list + 1] = tostring(index - 2)
      list[#list + 1] = found
    end
  end
  if #list > 1 then return list end
end

-- Takes back what this transaction has added to a key: its last values, or the first ones of LPUSH.
local function take_back(key, count)
  if redis.call('TYPE', key).ok ~= kind then return end
  if command == 'RPUSH' then return redis.call('LTRIM', key, 0, -count - 1) end
  if command == 'LPUSH' then return redis.call('LTRIM', key, count, -1) end
  for _, entry in ipairs(redis.call('XREVRANGE', key, '+', '-', 'COUNT', count)) do
    redis.call('XDEL', key, entry[1])
  end
end

local answer = refusal()
if answer then
  for index = 2, #KEYS do take_back(KEYS[index], tonumber(ARGV[8 + index])) end
  return answer
end
redis.call('HSET', state, lane, record)
for index = 2, #KEYS do
  if first ~= '' and command == 'XADD' then redis.call('XTRIM', KEYS[index], 'MAXLEN', first, last) end
  if first ~= '' and command ~= 'XADD' then redis.call('LTRIM', KEYS[index], first, last) end
  if ttl ~= '' then redis.call('PEXPIRE', KEYS[index], ttl) end
end
return {'DONE'}
