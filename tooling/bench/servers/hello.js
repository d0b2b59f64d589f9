// The hello handler that the benchmark mounts in x-server.
const headers = { 'content-type': 'text/plain' }

export function handle() {
  return { headers, body: 'Hello, World!' }
}
