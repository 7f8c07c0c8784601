// request SOCKET METHOD PATH HEADERS [BODY]: prints the answer's status and content type as a line, and its body as it comes.
import { request } from "node:http"

const [socketPath = "", method = "", path = "", headers = "{}", body] = process.argv.slice(2)

const parsed: unknown = JSON.parse(headers)
const entries = typeof parsed === "object" && parsed !== null ? Object.entries(parsed) : []
const fields = Object.fromEntries(entries.map(([name, value]) => [name, String(value)]))

request({ socketPath, method, path, headers: { "content-type": "application/json", ...fields } }, (response) => {
  process.stdout.write(`${response.statusCode} ${response.headers["content-type"]}\n`)
  response.pipe(process.stdout)
})
  .on("error", (error) => {
    process.exitCode = 1
    process.stderr.write(`${error.message}\n`)
  })
  .end(body)
