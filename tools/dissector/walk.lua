-- A walk through one message: w.at is the next byte, w.stop the end of what was kept. What takes something shows it, and
-- goes on behind it.

local function size_at(struct, minor)
  local size = STRUCTS[struct].size
  for _, step in ipairs(SIZES[struct] or {}) do
    if minor >= step[1] then
      size = step[2]
    end
  end
  return size
end

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
