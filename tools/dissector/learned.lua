-- What is learned of messages: requests that wait, and where nodeids are in the tree. The tables that all of this reads
-- (F, BITS, STRUCTS, SIZES, OPERATIONS, NOTICES, ...) stand above.

local X = {
  malformed = ProtoExpert.new("fuse.malformed", "Malformed message", expert.group.MALFORMED, expert.severity.ERROR),
  truncated = ProtoExpert.new("fuse.truncated", "Message was cut", expert.group.UNDECODED, expert.severity.NOTE),
  unmatched = ProtoExpert.new("fuse.unmatched", "Reply to no request", expert.group.SEQUENCE, expert.severity.WARN),
  unknown = ProtoExpert.new("fuse.unknown", "Unknown opcode or code", expert.group.UNDECODED, expert.severity.WARN),
  failed = ProtoExpert.new("fuse.failed", "Error reply", expert.group.RESPONSE_CODE, expert.severity.NOTE),
}

local all = {}
for _, field in pairs(F) do
  all[#all + 1] = field
end
for _, bits in pairs(BITS) do
  for _, field in ipairs(bits) do
    all[#all + 1] = field
  end
end
fuse.fields = all
fuse.experts = { X.malformed, X.truncated, X.unmatched, X.unknown, X.failed }

-- What is learned in the first pass, message after message, and read in later ones, which come in any order.
local connections, frames

function fuse.init()
  connections, frames = {}, {}
end

local function connection_of(number)
  local one = connections[number]
  if not one then
    one = { pending = {}, places = {}, minor = 0, setxattr_ext = false }
    connections[number] = one
  end
  return one
end

-- The kernel sets bit 63 of the unique of a request that it sends again.
local function key_of(unique)
  return string.format("%d:%d", unique:higher() % 0x80000000, unique:lower())
end

-- Paths, followed through nodeids as far as the trace names them.

local function path_of(connection, nodeid)
  local words, node = {}, tostring(nodeid)
  while node ~= "1" do
    local place = connection.places[node]
    if not place or #words > 4096 then
      table.insert(words, 1, "#" .. node)
      return table.concat(words, "/")
    end
    table.insert(words, 1, place.name)
    node = place.parent
  end
  return "/" .. table.concat(words, "/")
end

local function path_at(connection, nodeid, name)
  local path = path_of(connection, nodeid)
  return path == "/" and "/" .. name or path .. "/" .. name
end

local function learn(connection, parent, nodeid, name)
  local node = tostring(nodeid)
  if node ~= "0" and node ~= "1" and name and name ~= "" and name ~= "/" then
    connection.places[node] = { parent = tostring(parent), name = name }
    connection.places[tostring(parent) .. "/" .. name] = node
  end
end

local function moved(connection, asked)
  local from = tostring(asked.nodeid) .. "/" .. asked.names.name
  local node = connection.places[from]
  if node then
    connection.places[from] = nil
    learn(connection, asked.arg.newdir, node, asked.names.newname)
  end
end

local function path_about(connection, asked)
  local label, names, arg = asked.label, asked.names, asked.arg
  if label == "LINK" then
    return path_of(connection, arg.oldnodeid or "?"), path_at(connection, asked.nodeid, names.name)
  elseif string.find(label, "XATTR$") or not names.name then
    local other = arg.nodeid_out and path_of(connection, arg.nodeid_out) or nil
    return tostring(asked.nodeid) ~= "0" and path_of(connection, asked.nodeid) or nil, other
  end
  local newpath = names.newname and arg.newdir and path_at(connection, arg.newdir, names.newname) or nil
  return path_at(connection, asked.nodeid, names.name), newpath
end
