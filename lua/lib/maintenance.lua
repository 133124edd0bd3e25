--- maintenance: when planned disruption is allowed: Cluster.spec.maintenance.windows, as cron.
-- Pure: the time is w.now. Time zones are UTC or fixed offsets: no script has a table of zones.
local M = {}

local DAY = 86400
local LOOK_AHEAD = 1500 -- days: a window on 29 February is found

local MONTHS = { jan = 1, feb = 2, mar = 3, apr = 4, may = 5, jun = 6, jul = 7, aug = 8, sep = 9, oct = 10, nov = 11,
  dec = 12 }
local WEEKDAYS = { sun = 0, mon = 1, tue = 2, wed = 3, thu = 4, fri = 5, sat = 6 }

local FIELDS = {
  { name = "minute", low = 0, high = 59, names = {} },
  { name = "hour", low = 0, high = 23, names = {} },
  { name = "day of month", low = 1, high = 31, names = {} },
  { name = "month", low = 1, high = 12, names = MONTHS },
  { name = "day of week", low = 0, high = 7, names = WEEKDAYS },
}

-- "5", "mon", within the field's bounds.
local function value(text_of, field)
  local n = text_of:match "^%d+$" and tonumber(text_of) or field.names[text_of:lower()]
  if not n or n < field.low or n > field.high then
    return nil, ("%s %q is not within %d and %d"):format(field.name, text_of, field.low, field.high)
  end
  return n
end

local function add_item(set, item, field)
  local range, step_text = item:match "^([^/]+)/?(.*)$"
  if not range then return ("%s: an item is empty"):format(field.name) end
  local step = 1
  if item:find("/", 1, true) then
    step = step_text:match "^%d+$" and tonumber(step_text) or 0
    if step < 1 then return ("%s: step %q is no number of 1 or more"):format(field.name, step_text) end
  end
  local from, to = field.low, field.high
  if range ~= "*" and range ~= "?" then
    local a, b = range:match "^(.-)%-(.+)$"
    local low, why = value(a or range, field)
    if not low then return why end
    local high = low
    if b then high, why = value(b, field) end
    if not high then return why end
    from, to = low, high
    if not b and item:find("/", 1, true) then to = field.high end
    if to < from then return ("%s: %s runs backwards"):format(field.name, range) end
  end
  for n = from, to, step do set[n] = true end
end

---@param schedule string "minute hour day-of-month month day-of-week"
---@return table? cron
---@return string? why
function M.cron(schedule)
  local words = {}
  for word in schedule:gmatch "%S+" do words[#words + 1] = word end
  if #words ~= 5 then return nil, ("%q has %d fields, cron has 5"):format(schedule, #words) end
  local out = {}
  for n, field in ipairs(FIELDS) do
    local set = {}
    for _, item in ipairs(text.split(words[n], ",")) do
      local why = add_item(set, item, field)
      if why then return nil, why end
    end
    out[n] = set
  end
  out[5][0] = out[5][0] or out[5][7] -- both are Sunday
  out.any_day, out.any_weekday = words[3]:match "^[*?]" ~= nil, words[5]:match "^[*?]" ~= nil
  return out
end

---Seconds east of UTC.
local function offset(zone)
  if not zone or zone == "" or zone == "UTC" or zone == "Etc/UTC" or zone == "GMT" or zone == "Z" then return 0 end
  local sign, hours, minutes = zone:match "^U?T?C?([+-])(%d%d?):?(%d?%d?)$"
  if sign then
    local s = tonumber(hours) * 3600 + (tonumber(minutes) or 0) * 60
    if s <= 14 * 3600 then return sign == "-" and -s or s end
  end
  -- the signs of Etc/GMT+3 are the other way round
  sign, hours = zone:match "^Etc/GMT([+-])(%d%d?)$"
  if sign and tonumber(hours) <= 14 then return tonumber(hours) * 3600 * (sign == "+" and -1 or 1) end
end

-- Month and day of month of a day since 1970: years are counted from March, so that a leap day is last.
local function date_of(day)
  local z = day + 719468
  local era = math.floor(z / 146097)
  local of_era = z - era * 146097
  local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524)
    - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local m = math.floor((5 * of_year + 2) / 153)
  return m < 10 and m + 3 or m - 9, of_year - math.floor((153 * m + 2) / 5) + 1
end

local function on_day(cron, day)
  local month, of_month = date_of(day)
  if not cron[4][month] then return false end
  local dom, dow = cron[3][of_month] == true, cron[5][(day + 4) % 7] == true
  if cron.any_day or cron.any_weekday then return dom and dow end
  return dom or dow -- as cron has it, when both are said
end

-- Starts of one day, in seconds of the day, in order.
local function starts(cron)
  local out = {}
  for hour = 0, 23 do
    for minute = 0, 59 do
      if cron[2][hour] and cron[1][minute] then out[#out + 1] = hour * 3600 + minute * 60 end
    end
  end
  return out
end

---@param now number local seconds
---@return number? began the newest start that has not ended
---@return number? next
local function around(cron, now, length)
  local today, times, began = math.floor(now / DAY), starts(cron), nil
  for day = today - math.ceil(length / DAY), today do
    for _, s in ipairs(on_day(cron, day) and times or {}) do
      local at = day * DAY + s
      if at <= now and at + length > now then began = at end
    end
  end
  for day = today, today + LOOK_AHEAD do
    for _, s in ipairs(on_day(cron, day) and times or {}) do
      if day * DAY + s > now then return began, day * DAY + s end
    end
  end
  return began
end

---@return {cron: table, length: number, offset: number}?
---@return string? why with the name of the field
local function window(w, n)
  local at = ("spec.maintenance.windows[%d]"):format(n - 1)
  local cron, why = M.cron(tostring(w.schedule or ""))
  if not cron then return nil, ("%s.schedule: %s"):format(at, why) end
  local length = time.duration(tostring(w.duration or ""))
  if not length or length <= 0 then return nil, ("%s.duration: %q is no duration"):format(at, tostring(w.duration)) end
  local zone = offset(w.timeZone)
  if not zone then
    return nil, ("%s.timeZone: %q: only UTC and fixed offsets such as +02:00"):format(at, tostring(w.timeZone))
  end
  return { cron = cron, length = length, offset = zone }
end

---Whether planned disruption is allowed now. A window that can not be read keeps the gate shut.
---@param w world of anything below a Cluster
---@return boolean open
---@return string? why when closed: until when; when open by a window: until when
---@return number? after seconds until that changes
---@return boolean? wrong
function M.open(w)
  local windows = w.kind == "Cluster" and (w.object.spec.maintenance or {}).windows or w.cluster and w.cluster.windows
  if not windows or not windows[1] then return true end
  local until_at, soonest
  for n, item in ipairs(windows) do
    local x, why = window(item, n)
    if not x then return false, why, nil, true end
    local began, following = around(x.cron, w.now + x.offset, x.length)
    if began then until_at = math.max(until_at or 0, began + x.length - x.offset) end
    if following then soonest = math.min(soonest or math.huge, following - x.offset) end
  end
  if until_at then return true, "open until " .. time.format(until_at), math.max(until_at - w.now, 1) end
  if not soonest then return false, "no maintenance window ever opens" end
  return false, "the next maintenance window opens at " .. time.format(soonest), math.max(soonest - w.now, 1)
end

return M
