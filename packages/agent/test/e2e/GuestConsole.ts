/**
 * What the guest of packages/qemu-host/guest/init.c has said on its console, which outlives the VMM that writes it.
 */
import { assert } from "@effect/vitest"

export interface GuestConsole {
  /** Guest kernel, hypervisor, pattern; one line, said once per boot of the guest. */
  readonly introductions: ReadonlyArray<string>
  readonly ticks: ReadonlyArray<{ readonly number: number; readonly up: number }>
  /** Verdicts on the pattern in guest memory, of whole passes and of passes under way; `bad` in bytes. */
  readonly verdicts: ReadonlyArray<{ readonly pass: number; readonly whole: boolean; readonly bad: number }>
  /** Numbers of the records that the guest has fsynced, per disk. */
  readonly records: Readonly<Record<string, ReadonlyArray<number>>>
  /** What must not be there: failed disk operations, and the last words of a kernel. The guest's kernel may say other things. */
  readonly complaints: ReadonlyArray<string>
}

const integers = (match: RegExpExecArray | null) => match?.slice(1).map(Number)

/** Parses whole lines only: the last one may still be under way. */
export const parse = (text: string): GuestConsole => {
  const lines = text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .map((line) => line.replace(/\r$/, ""))
  const console = {
    introductions: [] as Array<string>,
    ticks: [] as Array<GuestConsole["ticks"][number]>,
    verdicts: [] as Array<GuestConsole["verdicts"][number]>,
    records: {} as Record<string, Array<number>>,
    complaints: [] as Array<string>
  }
  for (const line of lines) {
    const tick = integers(/^tick (\d+) up (\d+\.\d\d)$/.exec(line))
    const running = integers(/^pattern ok \d+ bad (\d+) pass (\d+)$/.exec(line))
    const whole = integers(/^pattern pass (\d+) ok \d+ bad (\d+)$/.exec(line))
    const record = /^disk (\w+) seq (\d+)$/.exec(line)
    if (line.startsWith("guest kernel ")) console.introductions.push(line)
    else if (tick !== undefined) console.ticks.push({ number: tick[0] ?? 0, up: tick[1] ?? 0 })
    else if (running !== undefined) console.verdicts.push({ pass: running[1] ?? 0, whole: false, bad: running[0] ?? 0 })
    else if (whole !== undefined) console.verdicts.push({ pass: whole[0] ?? 0, whole: true, bad: whole[1] ?? 0 })
    else if (record !== null) {
      const [, disk = "", number = ""] = record
      console.records[disk] = [...(console.records[disk] ?? []), Number(number)]
    } else if (/^disk \w+ error|^pattern: no memory|panic|BUG:|Oops|I\/O error/.test(line))
      console.complaints.push(line)
  }
  return console
}

export const lastTick = (console: GuestConsole): number => console.ticks.at(-1)?.number ?? 0

/** The guest is still the one that was booted, and has missed no tick. */
export const assertUnharmed = (console: GuestConsole): void => {
  assert.strictEqual(console.introductions.length, 1)
  assert.deepStrictEqual(gaps(console.ticks.map((tick) => tick.number)), [])
}

/** The places where a count doesn't go on with the next number: empty when none is missing and none comes twice. */
export const gaps = (numbers: ReadonlyArray<number>): ReadonlyArray<string> =>
  numbers.flatMap((number, index) => {
    const before = numbers[index - 1]
    return before === undefined || number === before + 1 ? [] : [`${before} → ${number}`]
  })
