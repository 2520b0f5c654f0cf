/**
 * Cuts a text of server-sent events into messages, by the rules of the HTML standard. Only the field `data` is used: the
 * frames repeat the content of `id` and `retry`, and the server sends no event with a name.
 */
export class SseReader {
  #line = "";
  #data: string[] = [];
  #size = 0;
  #named = false;
  /** The last line ended with a carriage return. A line feed that follows belongs to the same line end. */
  #afterReturn = false;

  /** Reads `text` and returns the data of each message that it completes. */
  read(text: string): string[] {
    const messages: string[] = [];
    const rest = this.#afterReturn && text.startsWith("\n") ? text.slice(1) : text;
    this.#afterReturn = text === "" ? this.#afterReturn : rest.endsWith("\r");
    const lines = (this.#line + rest).split(/\r\n|\n|\r/);
    this.#line = lines.pop() ?? "";
    for (const line of lines) {
      this.#endLine(line, messages);
    }
    return messages;
  }

  /** The number of characters that are kept for the incomplete message. */
  get size(): number {
    return this.#line.length + this.#size;
  }

  #endLine(line: string, messages: string[]): void {
    if (line === "") {
      if (this.#data.length > 0 && !this.#named) {
        messages.push(this.#data.join("\n"));
      }
      this.#data = [];
      this.#size = 0;
      this.#named = false;
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") {
      this.#data.push(value);
      this.#size += value.length;
    } else if (field === "event") {
      this.#named = value !== "" && value !== "message";
    }
  }
}
