/** The wish for the search field: the field takes the focus as soon as its screen is loaded and drawn. */
let isWanted = false;

export function wantSearch(): void {
  isWanted = true;
}

/** For the field that is drawn. */
export function focusIfWanted(field: HTMLInputElement | null): void {
  if (field === null || !isWanted) return;
  isWanted = false;
  field.focus();
}
