// The hello server of node:http. Arguments: PORT.
import { createServer } from 'node:http'

const server = createServer((_request, response) => {
  response.setHeader('content-type', 'text/plain')
  response.setHeader('content-length', 13)
  response.end('Hello, World!')
})
server.listen(Number(process.argv[2]), '127.0.0.1', 1024)
