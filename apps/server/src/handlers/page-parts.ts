/*
 * What the pages of the server are put together from. A page's own script fills what has an id.
 */

/** A number with its name, in a <dl>. */
export function figure(id: string, name: string): string {
  return `<div><dt>${name}</dt><dd id="${id}">–</dd></div>`
}

/** A table without rows. It has its roles also where a style lays it out as something else. */
export function table(id: string, caption: string, columns: readonly string[]): string {
  const heads = columns.map((column) => `<th role="columnheader" scope="col">${column}</th>`).join('')
  return `<table role="table"><caption>${caption}</caption>
<thead role="rowgroup"><tr role="row">${heads}</tr></thead>
<tbody role="rowgroup" id="${id}"></tbody>
</table>`
}

/** For the value of an attribute in double quotes. */
export function escapeAttribute(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;')
}
