/** A request that can't be served. Its message goes to the client, with `statusCode` as the status. */
export class RequestFault extends Error {
  readonly statusCode: number;

  constructor(statusCode: number, message: string) {
    super(message);
    this.name = 'RequestFault';
    this.statusCode = statusCode;
  }
}
