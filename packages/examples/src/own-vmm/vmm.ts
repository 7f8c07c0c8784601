// A VMM as small as one can be. Its guest counts: the count is in a register, which only this process has, and every number that it
// has reached is in its RAM, which is the agent's memfd. One line of text asks something of it, and is answered.
import * as Fs from "node:fs"
import * as Net from "node:net"

/** Under these numbers the agent gives a VMM its RAM, and a socket that listens already: `RAM_FD` and `MONITOR_FD` of the agent's `Vm`. */
const [RAM, MONITOR] = [3, 4]
const words = Fs.fstatSync(RAM).size / 8

let state = process.argv.includes("--incoming") ? "incoming" : "running"
let register = 0

setInterval(() => {
  if (state !== "running") return
  register += 1
  Fs.writeSync(RAM, new Float64Array([register]), 0, 8, (register % words) * 8)
}, 10)

const leadsTo: Readonly<Record<string, string>> = { pause: "paused", save: "saved", load: "paused", resume: "running" }

Net.createServer((socket) => {
  socket.on("error", () => socket.destroy())
  socket.once("data", (line) => {
    const [command = "", argument] = line.toString().trim().split(" ")
    if (command === "quit") process.exit(0)
    state = leadsTo[command] ?? state
    if (command === "load") register = Number(argument)
    socket.end(command === "status" ? state : String(register))
  })
}).listen({ fd: MONITOR })
