
-- Acknowledges entries of a stream and writes their events. An entry that is still pending with its group is
-- acknowledged and its events are written; of any other entry, which another process has acknowledged, nothing is
-- written. The first process wins. KEYS[1] is the stream. KEYS[2] and up are the keys that are written to.

-- The pending entries, by their number in the call. Mostly they are this consumer's, and one command finds them
-- all; entries that other consumers have taken over are looked up one by one. Fails without the group.
local function pending(stream, group, consumer, args, at, count)
  local found, all, mine = {}, true, {}
  local listed = redis.call('XPENDING', stream, group, args[at], args[at + count - 1], count, consumer)
  for _, entry in ipairs(listed) do found[entry[1]] = true end
  for number = 0, count - 1 do
    local id = args[at + number]
    mine[number] = found[id] or #redis.call('XPENDING', stream, group, id, id, 1) > 0
    all = all and mine[number]
  end
  return mine, all
end

-- The arguments whose entries are ours. `owners` maps them to entries: `first,count,each` means that each of
-- `count` entries from number `first` on has the next `each` of them.
local function ours(args, at, owners, mine)
  local kept = {}
  for first, count, each in string.gmatch(owners, '(%d+),(%d+),(%d+)') do
    for number = tonumber(first), tonumber(first) + tonumber(count) - 1 do
      if mine[number] then
        for index = at, at + tonumber(each) - 1 do kept[#kept + 1] = args[index] end
      end
      at = at + tonumber(each)
    end
  end
  return kept
end

-- Acknowledges the entries that are ours, as many at a time as have room on Lua's stack.
local function xack(stream, group, ids)
  for first = 1, #ids, 4000 do
    local last = math.min(first + 3999, #ids)
    local answer = redis.pcall('XACK', stream, group, unpack(ids, first, last))
    if type(answer) == 'table' then return answer.err end
  end
  return nil
end

-- As in `commit`, all that can refuse is looked at before the first write; and acknowledging comes last, so that
-- a first write that is refused all the same leaves everything as it was.
acknowledge = function(keys, args)
  local stream, group, consumer, command = keys[1], args[2], args[3], args[4]
  local kind, first, last, ttl, count = args[5], args[6], args[7], args[8], tonumber(args[9])
  local mine, all = pending(stream, group, consumer, args, 10, count)
  local names = {command}
  if first ~= '' then names[#names + 1] = 'LTRIM' end
  if ttl ~= '' then names[#names + 1] = 'PEXPIRE' end
  local name = forbidden(keys, names)
  if not name and redis.acl_check_cmd and not redis.acl_check_cmd('XACK', stream, group, '0-1') then
    name = 'XACK'
  end
  if name then return {'FORBIDDEN', name} end
  local list = refused(keys, kind)
  if #list > 1 then return list end

  local write, written, at = redis.call, {}, 10 + count
  while at < #args do
    local key, length = tonumber(args[at]) + 2, tonumber(args[at + 2])
    local from, kept = at + 3, nil
    if not all then kept = ours(args, from, args[at + 1], mine) end
    if all or #kept > 0 then
      local answer
      if all then
        answer = write(command, keys[key], unpack(args, from, from + length - 1))
      else
        answer = write(command, keys[key], unpack(kept))
      end
      if type(answer) == 'table' and answer.err then return {'BROKEN', answer.err} end
      write, written[key] = redis.pcall, true
    end
    at = from + length
  end
  for index in pairs(written) do
    local trimmed = first ~= '' and redis.pcall('LTRIM', keys[index], first, last)
    if trimmed and trimmed.err then return {'BROKEN', trimmed.err} end
    local limited = ttl ~= '' and redis.pcall('PEXPIRE', keys[index], ttl)
    if type(limited) == 'table' and limited.err then return {'BROKEN', limited.err} end
  end
  local ids, done = {}, {'DONE'}
  for number = 0, count - 1 do
    if mine[number] then ids[#ids + 1] = args[10 + number] else done[#done + 1] = tostring(number) end
  end
  local problem = xack(stream, group, ids)
  if problem then return {'BROKEN', problem} end
  return done
end
