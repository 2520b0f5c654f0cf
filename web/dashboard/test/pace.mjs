/** Makes changes at a pace for a while, in requests that do not wait for each other. Returns the number of changes. */
export async function changesAt(pace, ms, change) {
  const begun = Date.now();
  const sent = [];
  let count = 0;
  while (Date.now() - begun < ms) {
    const due = Math.floor(((Date.now() - begun) / 1000) * pace);
    while (count < due) sent.push(change(count++));
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await Promise.all(sent);
  return count;
}
