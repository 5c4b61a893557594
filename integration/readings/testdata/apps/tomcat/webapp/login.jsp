<%@ page session="false" trimDirectiveWhitespaces="true" import="java.net.URLDecoder, java.nio.charset.StandardCharsets, java.util.*" %><%!
	// An application on Tomcat that reads its request in the ways that servlets,
	// filters and JSPs do, and runs the login of every reading that names it.
	static void compare(List<String> ran, String reading, String path) {
		if (path == null) return;
		if (path.equals("/login")) ran.add(reading + ":exact");
		if (path.equals("/login") || path.startsWith("/login/")) ran.add(reading + ":under");
		if (path.startsWith("/login")) ran.add(reading + ":begins");
		if (path.toLowerCase(Locale.ROOT).equals("/login")) ran.add(reading + ":fold");
	}
%><%
	List<String> ran = new ArrayList<>();
	String info = request.getPathInfo() == null ? "" : request.getPathInfo();
	compare(ran, "servlet", request.getServletPath() + info);
	compare(ran, "getRequestURI", request.getRequestURI());
	if (request.getServletPath().equals("/login.jsp")) ran.add("script:jsp");
	for (String name : new String[] {"action", "do_action"}) {
		if (Arrays.asList(Objects.requireNonNullElse(request.getParameterValues(name), new String[0])).contains("login"))
			ran.add("getParameter:" + name);
	}
	ran.add("method:" + request.getMethod().toUpperCase(Locale.ROOT));
	if (request.getMethod().equals("HEAD")) ran.add("HEAD:GET"); // HttpServlet answers it with doGet
	for (String name : new String[] {"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"}) {
		if (request.getHeader(name) != null) ran.add(name + ":" + request.getHeader(name).toUpperCase(Locale.ROOT));
	}
	if (request.getParameter("_method") != null) ran.add("_method:" + request.getParameter("_method").toUpperCase(Locale.ROOT));
	String host = request.getServerName().toLowerCase(Locale.ROOT);
	if (host.endsWith(".")) host = host.substring(0, host.length() - 1);
	if (host.equals("login.example.com")) ran.add("host:host");
	response.setHeader("Login", String.join(", ", ran).replaceAll("[^ -~]", "?"));
	response.setContentLength(0);
%>
