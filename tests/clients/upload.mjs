// Uploads one file by tus-js-client as the JSON in the first argument says. Writes how far it is as
// JSON lines, and at the end where the upload is.
import { createHash } from 'node:crypto'
import { closeSync, createReadStream, openSync, readSync, statSync } from 'node:fs'
import * as tus from 'tus-js-client'

const order = JSON.parse(process.argv[2])
const size = statSync(order.file).size
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`)

function checksum(offset, length) {
  const piece = Buffer.alloc(Math.min(length, size - offset))
  const file = openSync(order.file, 'r')
  readSync(file, piece, 0, piece.length, offset)
  closeSync(file)
  return `sha256 ${createHash('sha256').update(piece).digest('base64')}`
}

const upload = new tus.Upload(createReadStream(order.file), {
  endpoint: order.endpoint,
  headers: order.headers,
  metadata: order.metadata,
  chunkSize: order.chunkSize ?? Infinity,
  parallelUploads: order.parallelUploads ?? 1,
  retryDelays: Array(60).fill(500),
  onBeforeRequest(request) {
    if (order.checksums && request.getMethod() === 'PATCH') {
      const offset = Number(request.getHeader('Upload-Offset'))
      request.setHeader('Upload-Checksum', checksum(offset, order.chunkSize))
      say({ checksum: offset })
    }
  },
  onShouldRetry: () => true,
  onProgress: (sent) => say({ sent }),
  onError(error) {
    say({ error: String(error) })
    process.exit(1)
  },
  onSuccess: () => say({ url: upload.url }),
})
upload.start()
