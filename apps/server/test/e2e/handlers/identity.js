// Says which request it answers, at once or later, so that a mixed-up response is seen.
export function handle(request, ctx) {
  const { path } = ctx
  if (request.method === 'POST') return request.text().then((text) => ({ body: `${path} ${text}` }))
  if (path.includes('later')) return new Promise((resolve) => setTimeout(resolve, 1, { body: path }))
  return { body: path }
}
