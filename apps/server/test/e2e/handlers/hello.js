export function handle() {
  return { headers: { 'content-type': 'text/plain' }, body: 'Hello, World!' }
}
