import { escapeAttribute, figure, table } from '../page-parts.ts'

/**
 * Lets the page run its own script, by a nonce and not by `'self'`: handlers that are mounted beside it are of the same
 * origin, and what they serve is no part of it.
 */
export const pagePolicy = (nonce: string): string =>
  [
    "default-src 'none'",
    `script-src 'nonce-${nonce}'`,
    `style-src 'nonce-${nonce}'`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join('; ')

/** The page for the mount at `mountPath`, below which its files are. */
export function adminPage(mountPath: string, nonce: string): string {
  const base = escapeAttribute(mountPath === '/' ? '' : mountPath)
  return `<!doctype html>
<html lang="en" data-base="${base}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>x-server</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${base}/admin.css" nonce="${nonce}">
<script type="module" src="${base}/admin.js" nonce="${nonce}"></script>
</head>
<body>
<header>
<h1>x-server</h1>
<p id="state" role="status">Waiting for the first answer.</p>
<div class="actions">
<button id="reload" type="button">Reload configuration</button>
<button id="restart" type="button">Restart</button>
</div>
</header>
<noscript><p>This page needs JavaScript; the figures are in <a href="${base}/status">status</a>.</p></noscript>
<div id="outcome" role="status"></div>
<main>
<section aria-labelledby="process-title">
<h2 id="process-title">Process</h2>
<dl id="process">
${figure('pid', 'Process id')}
${figure('version', 'Version')}
${figure('uptime', 'Uptime')}
${figure('address', 'Address')}
${figure('server-state', 'State')}
${figure('config', 'Configuration')}
</dl>
</section>
<section aria-labelledby="traffic-title">
<h2 id="traffic-title">Traffic</h2>
<div class="traffic">
<figure>
<figcaption><span id="rate">–</span> requests per second</figcaption>
<svg id="sparkline" role="img" aria-label="Requests per second over the last minute" viewBox="0 0 120 32" preserveAspectRatio="none">
<polygon id="sparkline-area" points=""></polygon><polyline id="sparkline-line" points="" vector-effect="non-scaling-stroke"></polyline>
</svg>
<p id="sparkline-range">over the last minute</p>
</figure>
<dl>
${figure('requests', 'Requests')}
${[2, 3, 4, 5].map((digit) => figure(`class${digit}`, `Responses ${digit}xx`)).join('\n')}
</dl>
</div>
<h3 id="connections-title">Connections</h3>
<dl id="connections" aria-labelledby="connections-title"></dl>
</section>
<section aria-labelledby="mounts-title">
<div class="titled"><h2 id="mounts-title" tabindex="-1">Mounts</h2><button id="mount" type="button">Mount…</button></div>
${table('mounts', 'What is mounted, and what still drains', ['Prefix', 'Host', 'Module', 'Generation', 'State', 'References', 'Requests', 'Actions'])}
</section>
<section aria-labelledby="workers-title">
<h2 id="workers-title">Workers</h2>
${table('workers', 'The threads that serve', ['Worker', 'State', 'Runs for', 'Requests', 'Requests per second'])}
</section>
<section aria-labelledby="restarts-title">
<h2 id="restarts-title">Restarts</h2>
${table('restarts', 'The newest first', ['When', 'From', 'To', 'Version', 'Connections moved', 'Nobody served for', 'Followed later', 'Outcome'])}
<p id="no-restarts">There has been none.</p>
</section>
</main>
${dialog()}
</body>
</html>
`
}

/** One for all actions: it says what will happen, and what has gone wrong. */
function dialog(): string {
  return `<dialog id="dialog" aria-labelledby="dialog-title" aria-describedby="dialog-text">
<form method="dialog" id="form" autocomplete="off" novalidate>
<h2 id="dialog-title"></h2>
<div id="fields">
<p class="field" id="prefix-field"><label for="prefix">Path prefix</label><input id="prefix" name="prefix" spellcheck="false"></p>
<p class="field" id="host-field"><label for="host">Host <span class="soft">(none: any host)</span></label><input id="host" name="host" spellcheck="false"></p>
<p class="field"><label for="module">Module <span class="soft">(absolute path, or builtin:NAME)</span></label><input id="module" name="module" spellcheck="false"></p>
<p class="field"><label for="options">Options <span class="soft">(JSON; none: no options)</span></label><textarea id="options" name="options" rows="3" spellcheck="false"></textarea></p>
</div>
<p id="dialog-text"></p>
<p id="dialog-progress" role="status"></p>
<p id="dialog-error" role="alert"></p>
<div class="actions">
<button id="cancel" type="button">Cancel</button>
<button id="confirm" type="submit"></button>
</div>
</form>
</dialog>`
}
