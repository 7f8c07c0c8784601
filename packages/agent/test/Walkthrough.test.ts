import { assert, describe, it } from "@effect/vitest"
import * as Walkthrough from "./Walkthrough.ts"

const page = `# A page

\`\`\`console
$ uname -r
7.3.5
$ cat >a.toml <<'END'
> id = "a"
>
> END
$ agent doctor
…
ready: no
[exit code 5]
\`\`\`

<!-- elsewhere: it takes an hour -->

\`\`\`console
$ make
\`\`\`

- in a list

  \`\`\`console
  $ reboot
  [connection closed]
  \`\`\`

\`\`\`toml
$ no command
\`\`\`
`

const [first, second, third, ...more] = Walkthrough.parse(page)

const prints = (lines: ReadonlyArray<string>, output: string) =>
  Walkthrough.isPrinted({ line: 1, command: "true", prints: lines, end: { _tag: "exited", code: 0 } }, output)

describe("a page's steps", () => {
  it("are its commands, with what they print and how they end", () => {
    assert.deepStrictEqual(first, {
      line: 3,
      elsewhere: undefined,
      steps: [
        { line: 4, command: "uname -r", prints: ["7.3.5"], end: { _tag: "exited", code: 0 } },
        { line: 6, command: `cat >a.toml <<'END'\nid = "a"\n\nEND`, prints: [], end: { _tag: "exited", code: 0 } },
        { line: 10, command: "agent doctor", prints: ["…", "ready: no"], end: { _tag: "exited", code: 5 } }
      ]
    })
    assert.deepStrictEqual(third?.steps, [
      { line: 25, command: "reboot", prints: [], end: { _tag: "connection closed" } }
    ])
    assert.deepStrictEqual(more, [])
  })

  it("that nobody can do here have their reason", () => {
    assert.strictEqual(second?.elsewhere, "it takes an hour")
    assert.strictEqual(third?.elsewhere, undefined)
  })

  it("are never passed over", () => {
    const refused = (text: string) => assert.throws(() => Walkthrough.parse(text))
    refused("```sh\nrm -r /tmp/a\n```")
    refused("```console\nno command\n```")
    refused("```console\n$ true")
    refused("<!-- elsewhere: why -->\n\nNo block.\n")
  })
})

describe("what a page says that a command prints", () => {
  it("is compared line by line", () => {
    assert.isTrue(prints(["a", "b"], "a\nb\n"))
    assert.isTrue(prints(["a"], "a  \r\n\n"))
    assert.isFalse(prints(["a"], "a\nb\n"))
    assert.isFalse(prints(["a", "b"], "a\n"))
    assert.isFalse(prints(["a.c"], "abc\n"))
  })

  it("is nothing, when it says nothing", () => {
    assert.isTrue(prints([], ""))
    assert.isFalse(prints([], "a\n"))
  })

  it("varies where … stands", () => {
    assert.isTrue(prints(["pid …, … MiB"], "pid 7, 192 MiB\n"))
    assert.isFalse(prints(["pid …"], "id 7\n"))
    assert.isTrue(prints(["…", "end"], "end\n"))
    assert.isTrue(prints(["begin", "…", "end"], "begin\none\n\ntwo\nend\n"))
    assert.isFalse(prints(["begin", "…", "end"], "begin\none\nthe end\n"))
    assert.isTrue(prints(["…"], ""))
  })
})
