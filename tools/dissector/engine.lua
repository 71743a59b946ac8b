-- What walks through messages. The tables it reads (F, BITS, STRUCTS, SIZES, OPERATIONS, NOTICES, ...) stand above.

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

local function size_at(struct, minor)
  local size = STRUCTS[struct].size
  for _, step in ipairs(SIZES[struct] or {}) do
    if minor >= step[1] then
      size = step[2]
    end
  end
  return size
end

-- A walk through one message: w.at is the next byte, w.stop the end of what was kept.

local function malformed(w, text)
  if not w.bad and not w.cut then
    w.tree:add_proto_expert_info(X.malformed, text)
  end
  w.bad = true
end

local function left(w)
  return w.stop - w.at
end

local function number(w, at, size, signed)
  local range = w.tvb:range(at, size)
  if size == 8 then
    if signed then
      return w.little and range:le_int64() or range:int64()
    end
    return w.little and range:le_uint64() or range:uint64()
  end
  if signed then
    return w.little and range:le_int() or range:int()
  end
  return w.little and range:le_uint() or range:uint()
end

local function add(w, tree, name, at, size)
  local range = w.tvb:range(at, size)
  local item = w.little and tree:add_le(F[name], range) or tree:add(F[name], range)
  for _, bit in ipairs(BITS[name] or {}) do
    if w.little then
      item:add_le(bit, range)
    else
      item:add(bit, range)
    end
  end
  return item
end

local function members(w, tree, struct, start, stop, values)
  for _, member in ipairs(STRUCTS[struct]) do
    local at = start + member.at
    if member.struct and at < stop then
      -- Also where it is shorter than today's: fuse_attr was, before 7.9.
      local size = math.min(member.size, stop - at)
      local inner = tree:add(F[STRUCTS[member.struct].field], w.tvb:range(at, size))
      inner:set_text(member.name .. ": struct " .. member.struct)
      local deeper = {}
      members(w, inner, member.struct, at, stop, deeper)
      values[member.name] = deeper
    elseif at + member.size <= stop then
      add(w, tree, member.field, at, member.size)
      if member.number then
        values[member.name] = number(w, at, member.size, member.signed)
      end
    end
  end
end

-- The members of a struct as far as there are bytes of it, and their values; `size` where it is a shorter one.
local function take_struct(w, struct, size)
  size = size or size_at(struct, w.minor)
  local stop = math.min(w.at + size, w.stop)
  local values = {}
  if left(w) < size then
    malformed(w, string.format("%d bytes left where struct %s has %d", left(w), struct, size))
  end
  if stop > w.at then
    local tree = w.tree:add(F[STRUCTS[struct].field], w.tvb:range(w.at, stop - w.at))
    members(w, tree, struct, w.at, stop, values)
  end
  w.at = stop
  return values
end

local function take_name(w, attribute)
  if left(w) <= 0 then
    malformed(w, "no bytes are left for the " .. attribute)
    return ""
  end
  local raw = w.tvb:raw(w.at, left(w))
  local stop = string.find(raw, "\0", 1, true)
  if not stop then
    malformed(w, "the " .. attribute .. " has no NUL at its end")
  elseif stop == 1 then
    malformed(w, "the " .. attribute .. " is empty")
  end
  local text = string.sub(raw, 1, (stop or #raw + 1) - 1)
  w.tree:add(F[attribute], w.tvb:range(w.at, stop or #raw), text)
  w.at = w.at + (stop or #raw)
  return text
end

local function take_rest(w, name)
  if left(w) > 0 then
    w.tree:add(F[name], w.tvb:range(w.at, left(w)))
    w.at = w.stop
  end
end

-- One part of a body after another; gives the values of its struct, and names under `names`.
local function take_body(w, body, setxattr_ext)
  local values, names = {}, {}
  for _, part in ipairs(body) do
    if part.kind == "fixed" then
      local size = nil
      if part.struct == "fuse_init_in" then
        -- As long as the kernel that sends it thought fit.
        size = math.max(8, math.min(left(w), STRUCTS[part.struct].size))
      elseif part.struct == "fuse_setxattr_in" and not setxattr_ext then
        size = SETXATTR_COMPAT_SIZE
      end
      values = take_struct(w, part.struct, size)
    elseif part.kind == "name" then
      names[part.attribute] = take_name(w, part.attribute)
    elseif part.kind == "array" then
      local size = part.struct and STRUCTS[part.struct].size or 8
      local count = values[part.count]
      if count and count * size ~= left(w) then
        malformed(w, string.format("%d items of %d bytes in %d bytes", count, size, left(w)))
      end
      while left(w) >= size do
        if part.struct then
          take_struct(w, part.struct, size)
        else
          add(w, w.tree, part.attribute, w.at, size)
          w.at = w.at + size
        end
      end
    else
      local size = values[part.size]
      if size and size ~= left(w) then
        malformed(w, string.format("%s is %d, and %d bytes follow", part.size, size, left(w)))
      end
      take_rest(w, part.attribute)
    end
  end
  return values, names
end

-- Zeros up to a multiple of 8 bytes from `start`.
local function take_padding(w, start)
  local padding = math.min((8 - (w.at - start) % 8) % 8, left(w))
  if padding > 0 then
    w.tree:add(F["padding"], w.tvb:range(w.at, padding))
    w.at = w.at + padding
  end
end

local function take_extensions(w)
  while left(w) > 0 do
    local start = w.at
    local head = take_struct(w, "fuse_ext_header")
    if not head.size or head.size < 8 or start + head.size > w.stop then
      malformed(w, "an extension that does not fit")
      return
    end
    local stop, rest = start + head.size, w.stop
    w.stop = stop
    if head.type <= FUSE_MAX_NR_SECCTX then
      for _ = 1, head.type do
        local context = take_struct(w, "fuse_secctx")
        take_name(w, "secctx_name")
        local size = context.size or 0
        if size > left(w) then
          malformed(w, "a security context that goes past its extension")
          break
        end
        if size > 0 then
          w.tree:add(F["secctx_value"], w.tvb:range(w.at, size))
        end
        w.at = w.at + size
        take_padding(w, start)
      end
    elseif head.type == FUSE_EXT_GROUPS then
      local groups = take_struct(w, "fuse_supp_groups")
      for _ = 1, groups.nr_groups or 0 do
        if left(w) < 4 then
          malformed(w, "fewer groups than announced")
          break
        end
        add(w, w.tree, "supp_group", w.at, 4)
        w.at = w.at + 4
      end
    end
    take_rest(w, left(w) < 8 and "padding" or "extension")
    w.stop = rest
    w.at = math.min(rest, start + math.floor((head.size + 7) / 8) * 8)
  end
end

local function take_entries(w, plus, learn)
  local head = STRUCTS[plus and "fuse_direntplus" or "fuse_dirent"].size
  local count = 0
  while left(w) >= head do
    local start = w.at
    local entry = plus and take_struct(w, "fuse_entry_out", STRUCTS["fuse_entry_out"].size) or {}
    local dirent = take_struct(w, "fuse_dirent")
    local size = math.min(dirent.namelen, left(w))
    if dirent.namelen == 0 or size < dirent.namelen then
      malformed(w, string.format("an entry's name of %d bytes, %d are left", dirent.namelen, size))
    end
    local name = size > 0 and w.tvb:raw(w.at, size) or ""
    if size > 0 then
      w.tree:add(F["name"], w.tvb:range(w.at, size), name)
    end
    w.at = w.at + size
    take_padding(w, start)
    if entry.nodeid and name ~= "." and name ~= ".." then
      learn(entry.nodeid, name)
    end
    count = count + 1
  end
  if left(w) > 0 then
    malformed(w, string.format("%d bytes left where an entry's head has %d", left(w), head))
  end
  return count
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

-- Requests

local function generated(tree, field, value)
  if value ~= nil then
    tree:add(F[field], value):set_generated()
  end
end

local function dissect_request(w, pinfo, frame)
  local head = take_struct(w, "fuse_in_header")
  local opcode = head.opcode
  if w.bad then
    return "a message shorter than its header"
  end
  if head.len ~= w.whole then
    malformed(w, string.format("the header says %d bytes, there are %d", head.len, w.whole))
  end
  local operation = OPERATIONS[opcode]
  local label = operation and operation.label or "OPCODE_" .. opcode
  if not operation then
    w.tree:add_proto_expert_info(X.unknown, "unknown opcode " .. opcode)
    take_rest(w, "rest")
    operation = { body = {}, reply = { kind = "bytes" }, label = label }
  end
  local whole, extensions = w.stop, (head.total_extlen or 0) * 8
  if extensions > 0 and not w.cut then
    if not operation.extensible or extensions > left(w) then
      malformed(w, string.format("%d bytes of extensions do not belong here", extensions))
      extensions = 0
    end
    w.stop = whole - extensions
  end
  local values, names = take_body(w, operation.body, frame.setxattr_ext)
  if extensions > 0 and not w.cut and not w.bad then
    if left(w) > 0 then
      malformed(w, string.format("%d bytes before the extensions are not understood", left(w)))
      take_rest(w, "rest")
    end
    w.stop = whole
    take_extensions(w)
  end
  w.stop = whole
  if left(w) > 0 then
    malformed(w, string.format("%d bytes more than belong here", left(w)))
    take_rest(w, "rest")
  end
  if not frame.asked then
    local asked = { label = label, opcode = opcode, operation = operation, frame = pinfo.number, time = pinfo.rel_ts }
    asked.nodeid, asked.names, asked.arg, asked.unique = head.nodeid, names, values, head.unique
    asked.path, asked.newpath = path_about(frame.connection, asked)
    frame.asked = asked
    if operation.reply.kind ~= "none" then
      frame.connection.pending[key_of(head.unique)] = asked
    end
  end
  local asked = frame.asked
  if asked.reply then
    generated(w.tree, "reply_in", asked.reply)
  end
  if head.unique:higher() >= 0x80000000 then
    generated(w.tree, "resent", true)
  end
  generated(w.tree, "path", asked.path)
  generated(w.tree, "newpath", asked.newpath)
  return label .. (asked.path and " " .. asked.path or "") .. (asked.newpath and " -> " .. asked.newpath or "")
end

-- Replies

local function limit_of(asked)
  local limit = asked.operation.reply.limit
  if type(limit) == "string" then
    return asked.arg[limit]
  end
  return limit
end

local function at_most(w, limit)
  if limit and left(w) > limit then
    malformed(w, string.format("%d bytes where at most %d were asked for", left(w), limit))
  end
end

local function take_iovecs(w, asked)
  if w.minor < IOVEC_MINOR then
    take_rest(w, "data")
    return
  end
  while left(w) >= STRUCTS["fuse_ioctl_iovec"].size do
    take_struct(w, "fuse_ioctl_iovec")
  end
end

local function take_reply(w, frame, asked)
  local reply = asked.operation.reply
  local kind = reply.kind
  if kind == "fixed" or kind == "head" or (kind == "xattr" and limit_of(asked) == 0) then
    local first, out
    for _, struct in ipairs(reply.structs) do
      out = take_struct(w, struct)
      first = first or out
    end
    if first.nodeid and not frame.learned then
      learn(frame.connection, asked.nodeid, first.nodeid, asked.names.name)
    end
    if kind == "head" then
      if asked.label == "IOCTL" and out.flags and math.floor(out.flags / FUSE_IOCTL_RETRY) % 2 == 1 then
        take_iovecs(w, asked)
      end
      take_rest(w, "data")
    end
  elseif kind == "prefix" then
    if left(w) < 8 then
      malformed(w, string.format("%d bytes where at least 8 belong", left(w)))
    end
    local struct = reply.structs[1]
    local out = take_struct(w, struct, math.max(8, math.min(left(w), STRUCTS[struct].size)))
    if out.minor and not frame.learned then
      frame.connection.minor = out.minor
      frame.connection.setxattr_ext = math.floor((out.flags or 0) / FUSE_SETXATTR_EXT) % 2 == 1
    end
  elseif kind == "dirents" then
    at_most(w, limit_of(asked))
    take_entries(w, reply.structs[1] == "fuse_direntplus", function(nodeid, name)
      if not frame.learned then
        learn(frame.connection, asked.nodeid, nodeid, name)
      end
    end)
  elseif kind == "bytes" or kind == "xattr" then
    at_most(w, limit_of(asked))
    take_rest(w, "data")
  elseif (asked.label == "RENAME" or asked.label == "RENAME2") and not frame.learned then
    moved(frame.connection, asked)
  end
end

local function dissect_notification(w, code)
  local notice = NOTICES[code]
  if not notice then
    w.tree:add_proto_expert_info(X.unknown, "unknown notify code " .. code)
    take_rest(w, "rest")
    return "NOTIFY " .. code
  end
  local values, names = take_body(w, notice.body, true)
  if names.name and values.namelen and #names.name ~= values.namelen then
    malformed(w, string.format("namelen is %d, the name has %d bytes", values.namelen, #names.name))
  end
  if left(w) > 0 and #notice.body > 0 then
    malformed(w, string.format("%d bytes more than belong here", left(w)))
  end
  take_rest(w, "rest")
  return notice.label .. (names.name and " " .. names.name or "")
end

local function dissect_answer(w, pinfo, frame)
  local at = w.at
  if left(w) < STRUCTS["fuse_out_header"].size then
    take_struct(w, "fuse_out_header")
    take_rest(w, "rest")
    return "a message shorter than its header"
  end
  local unique = number(w, at + 8, 8)
  local notification = unique:higher() == 0 and unique:lower() == 0
  local tree = w.tree:add(F["out_header"], w.tvb:range(at, 16))
  add(w, tree, "len", at, 4)
  add(w, tree, notification and "notify" or "error", at + 4, 4)
  add(w, tree, "unique", at + 8, 8)
  local length, code = number(w, at, 4), number(w, at + 4, 4, true)
  w.at = at + 16
  if length ~= w.whole then
    malformed(w, string.format("the header says %d bytes, there are %d", length, w.whole))
  end
  if notification then
    return dissect_notification(w, code)
  end
  if not frame.answered then
    frame.answered = true
    local pending, key = frame.connection.pending, key_of(unique)
    frame.asked = pending[key]
    if frame.asked then
      pending[key] = nil
      frame.asked.reply = pinfo.number
      frame.latency = pinfo.rel_ts - frame.asked.time
    end
  end
  local asked = frame.asked
  if code ~= 0 then
    local name = ERRNOS[code] or tostring(code)
    if code > 0 or code < -MAX_ERRNO then
      malformed(w, string.format("error %d is not in -%d to 0", code, MAX_ERRNO))
    else
      w.tree:add_proto_expert_info(X.failed, name)
    end
    if left(w) > 0 then
      malformed(w, string.format("%d bytes follow an error", left(w)))
    end
  elseif asked then
    take_reply(w, frame, asked)
    if left(w) > 0 then
      malformed(w, string.format("%d bytes more than belong here", left(w)))
    end
  end
  frame.learned = true
  take_rest(w, "rest")
  local outcome = code == 0 and "" or " " .. (ERRNOS[code] or tostring(code))
  if not asked then
    w.tree:add_proto_expert_info(X.unmatched, "no request with this unique waits for a reply")
    return "reply" .. outcome
  end
  generated(w.tree, "opcode", asked.opcode)
  generated(w.tree, "request_in", asked.frame)
  if frame.latency then
    local seconds = math.floor(frame.latency)
    generated(w.tree, "latency", NSTime.new(seconds, math.floor((frame.latency - seconds) * 1e9 + 0.5)))
  end
  generated(w.tree, "nodeid", asked.nodeid)
  for attribute, name in pairs(asked.names) do
    generated(w.tree, attribute, name)
  end
  generated(w.tree, "path", asked.path)
  generated(w.tree, "newpath", asked.newpath)
  return asked.label .. " reply" .. outcome .. (asked.path and " " .. asked.path or "")
end

-- A packet: the pseudo-header (see `rawfuse dissector --help`), then the message.

local HEADER = 32

function fuse.dissector(tvb, pinfo, root)
  pinfo.cols.protocol = "FUSE"
  local tree = root:add(fuse, tvb())
  if tvb:captured_len() < HEADER or tvb:range(0, 1):uint() ~= 1 then
    tree:add_proto_expert_info(X.malformed, "no pseudo-header of version 1 and 32 bytes")
    return
  end
  local trace = tree:add(F["trace"], tvb:range(0, HEADER))
  trace:add(F["trace.version"], tvb:range(0, 1))
  trace:add(F["trace.direction"], tvb:range(1, 1))
  trace:add(F["trace.byteorder"], tvb:range(2, 1))
  trace:add(F["trace.minor"], tvb:range(3, 1))
  trace:add(F["trace.connection"], tvb:range(4, 4))
  trace:add(F["trace.descriptor"], tvb:range(8, 4))
  local agreed = trace:add(F["trace.agreed"], tvb:range(12, 4))
  agreed:add(BITS["trace.agreed"][1], tvb:range(12, 4))
  trace:add(F["trace.program"], tvb:range(16, 16), tvb:range(16, 16):stringz())
  local direction, minor = tvb:range(1, 1):uint(), tvb:range(3, 1):uint()
  local frame = frames[pinfo.number]
  if not frame then
    frame = { connection = connection_of(tvb:range(4, 4):uint()) }
    frame.minor, frame.setxattr_ext = minor, tvb:range(15, 1):uint() % 2 == 1
    if minor == 0 and frame.connection.minor > 0 then
      -- A recorder that did not know what was negotiated: INIT said it.
      frame.minor, frame.setxattr_ext = frame.connection.minor, frame.connection.setxattr_ext
    end
    frames[pinfo.number] = frame
  end
  local w = {
    tvb = tvb,
    tree = tree,
    at = HEADER,
    stop = tvb:captured_len(),
    whole = tvb:reported_len() - HEADER,
    cut = tvb:reported_len() > tvb:captured_len(),
    little = tvb:range(2, 1):uint() ~= 2,
    minor = frame.minor > 0 and frame.minor or NEWEST_MINOR,
  }
  if w.cut then
    local missing = tvb:reported_len() - tvb:captured_len()
    tree:add_proto_expert_info(X.truncated, missing .. " more bytes were not kept")
  end
  local text
  if direction == 1 then
    pinfo.cols.src, pinfo.cols.dst = "kernel", "server"
    text = dissect_request(w, pinfo, frame)
  else
    pinfo.cols.src, pinfo.cols.dst = "server", "kernel"
    text = dissect_answer(w, pinfo, frame)
  end
  pinfo.cols.info = text
  tree:append_text(", " .. text)
  return tvb:captured_len()
end
