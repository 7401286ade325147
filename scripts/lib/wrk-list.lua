-- For wrk: asks for the paths in the file that WRK_LIST names, one a line, in turn, beginning at a random one.
local paths = {}
for line in io.lines(os.getenv("WRK_LIST")) do paths[#paths + 1] = line end
math.randomseed(os.time())
local at = math.random(#paths)

function request()
  at = at % #paths + 1
  return wrk.format("GET", paths[at])
end

function done(summary, latency)
  local failed = summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.connect + summary.errors.timeout
  io.write(string.format("RESULT %d %d %d %d\n", summary.requests / (summary.duration / 1e6), failed, latency:percentile(50), latency:percentile(99)))
end
