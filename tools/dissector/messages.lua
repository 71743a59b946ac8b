-- Requests, replies and notifications, and the packet that each of them is in.

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
