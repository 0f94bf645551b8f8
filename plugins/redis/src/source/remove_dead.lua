-- KEYS[1]: the stream. ARGV: the group, the own consumer, the component, the idle time in milliseconds.
local removed = {}
local tail = '-' .. ARGV[3]
local limit = tonumber(ARGV[4])
for _, fields in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for at = 1, #fields, 2 do consumer[fields[at]] = fields[at + 1] end
  local name = consumer['name']
  local head = name:sub(1, -#tail - 1)
  if name ~= ARGV[2] and name:sub(-#tail) == tail and head:match('^.+%-%d+$')
    and consumer['pending'] == 0 and consumer['idle'] >= limit then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], name)
    removed[#removed + 1] = name
  end
end
return removed
