// Takes traces as a collector does, OTLP over HTTP, and writes each request down as a line.
import * as Fs from "node:fs"
import { createServer } from "node:http"

const [, , file = ""] = process.argv

createServer((request, response) => {
  let body = ""
  request.setEncoding("utf8")
  request.on("data", (text: string) => {
    body += text
  })
  request.on("end", () => {
    Fs.appendFileSync(file, `${body}\n`)
    response.writeHead(200, { "content-type": "application/json" }).end("{}")
  })
}).listen(4318, "127.0.0.1")
