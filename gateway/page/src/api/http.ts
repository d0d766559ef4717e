/** Calls of the gateway that serves this page: the token goes with each, and a refusal becomes its sentence. */

const TOKEN_KEY = "reasoncd-token";

/** What the gateway refused, in its own words. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
    this.name = "ApiError";
  }

  get asksForToken(): boolean {
    return this.status === 401;
  }
}

export class Api {
  #token = sessionStorage.getItem(TOKEN_KEY) ?? "";

  get token(): string {
    return this.#token;
  }

  /** Kept until the tab is closed, and no longer. */
  set token(value: string) {
    this.#token = value.trim();
    if (this.#token) sessionStorage.setItem(TOKEN_KEY, this.#token);
    else sessionStorage.removeItem(TOKEN_KEY);
  }

  get headers(): Record<string, string> {
    return this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
  }

  /** A response that is a success; what is none is thrown as ApiError. */
  async call(path: string, init: RequestInit = {}): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(path, {
        ...init,
        headers: { ...this.headers, ...(init.headers as Record<string, string> | undefined) },
      });
    } catch (error) {
      if (isAbort(error)) throw error;
      throw new ApiError("The gateway cannot be reached; see whether it still runs.", 0);
    }
    if (!response.ok) throw new ApiError(await sentenceOf(response), response.status);
    return response;
  }

  async json<Value>(path: string, init: RequestInit = {}): Promise<Value> {
    return (await (await this.call(path, init)).json()) as Value;
  }
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** What to show of anything that was thrown. */
export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function sentenceOf(response: Response): Promise<string> {
  try {
    const body = (await response.json()) as { error?: { message?: string } };
    if (body.error?.message) return body.error.message;
  } catch {
    // No JSON: something between the page and the gateway answered.
  }
  return `The server answered ${response.status} ${response.statusText}.`;
}
