// Answers with the body of the request, as it comes in and without holding it in memory.

export function handle(request) {
  const type = request.headers.get('content-type') ?? 'application/octet-stream'
  return { headers: { 'content-type': type }, body: request.body }
}
