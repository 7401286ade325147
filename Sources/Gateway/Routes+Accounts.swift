internal import BlockModel
internal import HTTPTransport
internal import ServiceAPI

extension GatewayService {
  var accountRoutes: [RouteDescription] {
    [
      RouteDescription(
        method: .post, pattern: "/v1/users", operation: "signUp", summary: "Signs a user up.", access: .open, rate: .attempt,
        headers: [.idempotencyKey], request: .signUpRequest, answers: [.init(201, "The user.", .user)], problems: [.alreadyExists],
        handler: signUp),
      RouteDescription(
        method: .post, pattern: "/v1/sessions", operation: "logIn", summary: "Logs a device in.", access: .open, rate: .attempt,
        headers: [.idempotencyKey], request: .logInRequest, answers: [.init(201, "The token; it is shown this once.", .session)],
        problems: [.unauthenticated], handler: logIn),
      RouteDescription(
        method: .delete, pattern: "/v1/sessions/current", operation: "logOut", summary: "Revokes the token that it is asked with.",
        answers: [.init(204, "The token opens nothing any more.")], handler: logOut),
      RouteDescription(
        method: .get, pattern: "/v1/me", operation: "whoAmI", summary: "Whose token this is.", answers: [.init(200, "The user.", .user)],
        handler: whoAmI),
      RouteDescription(
        method: .put, pattern: "/v1/me/password", operation: "changePassword",
        summary: "Changes the password; other devices have to log in again unless `keep_devices` is true.", rate: .attempt,
        request: .passwordRequest,
        answers: [.init(204, "It is changed.")], problems: [.forbidden, .tooManyRequests], handler: changePassword),
      RouteDescription(
        method: .get, pattern: "/v1/devices", operation: "listDevices", summary: "The user's devices.",
        answers: [.init(200, "The devices.", .devicePage)], handler: listDevices),
      RouteDescription(
        method: .delete, pattern: "/v1/devices/{id}", operation: "revokeDevice", summary: "Revokes a device's token.",
        answers: [.init(204, "The device has to log in again.")], problems: [.notFound], handler: revokeDevice),
      RouteDescription(
        method: .get, pattern: "/v1/usage", operation: "getUsage", summary: "Space used, reserved and allowed.",
        answers: [.init(200, "Bytes.", .usage)], handler: usage),
    ]
  }

  private func signUp(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let request = try await call.document(SignUpRequest.self)
    return try .json(try await perform(UserOperations.SignUp(name: request.name, password: request.password), call), status: 201)
  }

  private func logIn(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let request = try await call.document(LogInRequest.self)
    let device = request.device ?? "unnamed"
    guard (1...100).contains(device.utf8.count), !device.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7f }) else {
      throw Problem(.malformed, "A device's name has 1 to 100 bytes and no control characters.")
    }
    let operation = UserOperations.LogIn(name: request.name, password: request.password, device: device)
    return try .json(try await perform(operation, call), status: 201)
  }

  private func changePassword(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let request = try await call.document(PasswordRequest.self)
    let operation = UserOperations.ChangePassword(
      password: request.password, newPassword: request.newPassword, keepDevices: request.keepDevices ?? false)
    _ = try await perform(operation, call)
    return .done
  }

  private func logOut(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    _ = try await perform(UserOperations.LogOut(), call)
    return .done
  }

  private func whoAmI(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    try .json(try await perform(UserOperations.WhoAmI(), call))
  }

  private func listDevices(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    try .json(try await perform(UserOperations.ListDevices(), call))
  }

  private func revokeDevice(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    guard let device = DeviceID(hex: call.head.parameters["id"] ?? "") else { throw Problem(.notFound, "There is no device with this id.") }
    _ = try await perform(UserOperations.RevokeDevice(device: device), call)
    return .done
  }

  private func usage(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    try .json(try await perform(UserOperations.GetUsage(), call))
  }
}
