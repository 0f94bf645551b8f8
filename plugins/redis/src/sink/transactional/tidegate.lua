-- The function inside of Redis. Each call is one atomic step.
--
-- KEYS[1] is the hash with the records of a sink: `epoch` and `owner` say who claimed it last, every other
-- field is a lane and holds its record. KEYS[2] and up are the keys that are written to.

-- Acknowledges entries of a stream, see acknowledge.lua.
local acknowledge

-- Takes the sink over: earlier owners are refused from now on. With `reset` the records are deleted.
--
-- The epoch is the time, and more than the one before. A count would not do: a server that loses its newest
-- data loses claims too, and then the same number is given twice. One of the two may come back, out of a
-- snapshot that was still being written, and must not be taken for a later claim of somebody else.
local function claim(keys, args)
  local state, owner, reset = keys[1], args[2], args[3]
  if reset == '1' then
    for _, field in ipairs(redis.call('HKEYS', state)) do
      if field ~= 'epoch' then redis.call('HDEL', state, field) end
    end
  end
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local before = tonumber(redis.call('HGET', state, 'epoch') or '0') or 0
  redis.call('HSET', state, 'epoch', string.format('%.0f', math.max(before + 1, now)), 'owner', owner)
  return redis.call('HGETALL', state)
end

-- Which keys hold another type than the command writes to, each as its number and what it is.
local function refused(keys, kind)
  local list = {'REFUSED'}
  for index = 2, #keys do
    local found = redis.call('TYPE', keys[index]).ok
    if kind ~= '' and found ~= 'none' and found ~= kind then
      list[#list + 1] = tostring(index - 2)
      list[#list + 1] = found
    end
  end
  return list
end

-- The name of a command that this user may not give; nothing, if all are allowed.
local function forbidden(keys, names)
  if not redis.acl_check_cmd or not keys[2] then return nil end
  for _, name in ipairs(names) do
    if not redis.acl_check_cmd(name, keys[2], '0', '0') then return name end
  end
  return nil
end

-- The events and the record, or neither. All that can refuse a write is looked at before the first one, because
-- Redis does not take back what a function has done when it fails half-way.
local function commit(keys, args)
  local state = keys[1]
  local lane, owner, expected, record = args[2], args[3], args[4], args[5]
  local command, kind, first, last, ttl = args[6], args[7], args[8], args[9], args[10]
  local known = redis.call('HMGET', state, 'owner', lane, 'epoch')
  if known[1] ~= owner then return {'OWNER', known[3] or ''} end
  local stored = known[2] or ''
  if stored == record then return {'DONE'} end
  if stored ~= expected then return {'RECORD', stored} end
  local names = {command}
  if first ~= '' then names[#names + 1] = 'LTRIM' end
  if ttl ~= '' then names[#names + 1] = 'PEXPIRE' end
  local name = forbidden(keys, names)
  if name then return {'FORBIDDEN', name} end
  local list = refused(keys, kind)
  if #list > 1 then return list end

  -- The first refusal is an error like any other: nothing was written yet. A later one is reported as a broken step.
  local write = redis.call
  local at = 11
  while at < #args do
    local count = tonumber(args[at + 1])
    local answer = write(command, keys[tonumber(args[at]) + 2], unpack(args, at + 2, at + 1 + count))
    if type(answer) == 'table' and answer.err then return {'BROKEN', answer.err} end
    write = redis.pcall
    at = at + 2 + count
  end
  for index = 2, #keys do
    local trimmed = first ~= '' and redis.pcall('LTRIM', keys[index], first, last)
    if trimmed and trimmed.err then return {'BROKEN', trimmed.err} end
    local limited = ttl ~= '' and redis.pcall('PEXPIRE', keys[index], ttl)
    if type(limited) == 'table' and limited.err then return {'BROKEN', limited.err} end
  end
  redis.call('HSET', state, lane, record)
  return {'DONE'}
end

local function tidegate(keys, args)
  if args[1] == 'claim' then return claim(keys, args) end
  if args[1] == 'acknowledge' then return acknowledge(keys, args) end
  return commit(keys, args)
end
