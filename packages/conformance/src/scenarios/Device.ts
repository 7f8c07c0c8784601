import { said } from "../Raw.ts"
import { scenario } from "../Scenario.ts"

export const device = [
  scenario("The device opens and closes, as often as one likes.", { first: "ok", closed: "ok", again: "ok" }, (raw) => {
    const fd = raw.open("/dev/liveupdate")
    return { first: said(fd), closed: said(raw.close(fd)), again: said(raw.open("/dev/liveupdate")) }
  }),
  scenario(
    "It has one opener at a time: a second open is EBUSY until the first one is closed.",
    { first: "ok", second: "EBUSY", closed: "ok", third: "ok" },
    (raw) => {
      const fd = raw.open("/dev/liveupdate")
      return {
        first: said(fd),
        second: said(raw.open("/dev/liveupdate")),
        closed: said(raw.close(fd)),
        third: said(raw.open("/dev/liveupdate"))
      }
    }
  ),
  scenario(
    "It stays in use until the last duplicate of its descriptor is closed.",
    { duplicate: "ok", whileDuplicate: "EBUSY", after: "ok" },
    (raw) => {
      const fd = raw.open("/dev/liveupdate")
      const other = raw.dup(fd)
      raw.close(fd)
      const whileDuplicate = said(raw.open("/dev/liveupdate"))
      raw.close(other)
      return { duplicate: said(other), whileDuplicate, after: said(raw.open("/dev/liveupdate")) }
    }
  ),
  scenario("Sessions live on when the device is closed.", { preserved: "ok", sameName: "EEXIST" }, (raw) => {
    const session = raw.create("lives-on")
    raw.close(raw.device())
    return { preserved: said(raw.preserve(session, raw.memfd("x"), 1n)), sameName: said(raw.create("lives-on")) }
  })
]
