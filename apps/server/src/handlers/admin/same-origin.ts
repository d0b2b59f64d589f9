import type { HttpRequest } from '@x/http1'

/**
 * Whether a request that changes something comes from this page, or from no page at all.
 *
 * A browser adds the password to every request to this origin, also to one that another site's page makes, so the
 * password alone does not show that the operator wants it. What does:
 * - Sec-Fetch-Site, which no script can set. `same-origin` is this page. Browsers send it to origins they hold to be
 *   trustworthy: https, and this machine.
 * - Else Origin, which browsers send with every POST that is made by a script or a form. It must name the host that
 *   was asked. The scheme is not compared: behind a proxy that speaks TLS this server does not know its own. A page that
 *   hides its origin (`null`) is refused.
 * - With neither of them it is no browser, and adds the password because it was told to, as curl does.
 *
 * Besides, a body must be application/json: another site's page may not send that without being allowed to by the
 * answer to an OPTIONS request (CORS), which is never given here. Under another name for this server (DNS rebinding)
 * the browser has no password to add.
 */
export function isSameOrigin({ headers, host }: Pick<HttpRequest, 'headers' | 'host'>): boolean {
  const site = headers.get('sec-fetch-site')
  if (site !== undefined) return site === 'same-origin'
  const origin = headers.get('origin')
  if (origin === undefined) return true
  return hostOf(origin) === host.toLowerCase()
}

function hostOf(origin: string): string | undefined {
  return /^https?:\/\/([^/]+)$/u.exec(origin)?.[1]?.toLowerCase()
}
